#!/usr/bin/env bash
# Get SLURM's programs for the test bed; says loudly and exits 1 when it cannot.
#
#   install.sh    nothing if they are there; else, as root, by apt-get; else, or where installing is
#                 forbidden, Debian's packages unpacked into build/slurm, with no rights at all
#
# MINKGEN_SLURM_ROOT=FOLDER unpacks there and installs nothing. Packages that are already in
# FOLDER/packages are unpacked as they are: a host without a network needs no more.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
packages=(slurmctld slurmd slurm-client munge)

# A host that has a part of SLURM belongs to a cluster: apt-get might change the version it runs.
part_of_a_cluster() {
    [ -e /etc/slurm/slurm.conf ] || command -v sbatch scontrol slurmd slurmctld >/dev/null
}

by_apt() {
    [ -z "${MINKGEN_SLURM_ROOT:-}" ] && [ "$(id -u)" = 0 ] && ! part_of_a_cluster || return 1
    command -v apt-get >/dev/null || return 1
    apt-get update -qq || say "apt-get update failed; going on with the lists that are there"
    DEBIAN_FRONTEND=noninteractive \
        apt-get install --quiet --yes --no-install-recommends "${packages[@]}" >&2
}

download() {
    local missing
    missing=$(apt-get install --simulate --no-install-recommends "${packages[@]}" |
        awk '/^Inst/ {print $2}')
    mkdir -p "$unpacked/downloading"
    # All or nothing: half of them would be taken for packages that somebody put there.
    # shellcheck disable=SC2086 # names of packages, one word each
    (cd "$unpacked/downloading" &&
        apt-get download --quiet slurm-wlm-basic-plugins "${packages[@]}" $missing >&2) &&
        mv "$unpacked/downloading" "$unpacked/packages"
}

unpack() {
    local package program
    compgen -G "$unpacked/packages/*.deb" >/dev/null || download || return 1
    for package in "$unpacked"/packages/*.deb; do
        dpkg-deb --extract "$package" "$unpacked" || return 1
    done
    # update-alternatives names them on a Debian host; the daemons look for each other by name.
    for program in slurmctld slurmd slurmstepd; do
        ln -sf "$program-wlm" "$unpacked/usr/sbin/$program"
    done
}

if find_slurm; then
    say "$(slurmctld -V) is there: $(command -v slurmctld)"
    exit
fi
if by_apt; then
    find_slurm || fail "apt-get installed ${packages[*]}, but not all of: ${programs[*]}"
    say "$(slurmctld -V) installed by apt-get"
    exit
fi
say "installing nothing on this host: unpacking Debian's packages into $unpacked"
if unpack && find_slurm && slurmctld -V >/dev/null; then
    say "$(slurmctld -V) unpacked into $unpacked"
    exit
fi
say "################################################################################"
say "NO SLURM: the packages ${packages[*]} can be neither installed nor downloaded here."
say "Install them, or put them and what they depend on, as .deb files, into"
say "$unpacked/packages and run this again."
say "################################################################################"
exit 1
