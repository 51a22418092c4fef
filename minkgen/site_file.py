"""Site profiles: YAML in, a checked profile out, or all faults at once with their keys' paths."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from minkgen.errors import SiteError
from minkgen.recipe.site import Site
from minkgen.yaml_file import read_mapping, section_faults

__all__ = ["load_site", "shipped_sites"]


def shipped_sites() -> dict[str, Path]:
    """Return the site profiles that come with minkgen, by name."""
    with resources.as_file(resources.files("minkgen.sites")) as folder:
        return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_site(name: str) -> Site:
    """Read and check a site profile.

    Parameters
    ----------
    name : str
        A YAML file, or the name of a shipped profile (`generic-slurm`).

    Returns
    -------
    Site

    Raises
    ------
    SiteError
        If there is no such profile, or with all of its faults at once.
    """
    path = Path(name)
    file = path if path.is_file() else shipped_sites().get(name, path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        shipped = ", ".join(shipped_sites())
        raise SiteError(
            [f"cannot be read: {error}; shipped profiles are {shipped}"],
            where=name,
            hint="give the path of a profile, or the name of one that is shipped",
        ) from error
    data = read_mapping(text, file, SiteError)
    faults = section_faults(Site, data)
    if faults:
        raise SiteError(faults, where=file)
    return Site.model_validate(data)
