"""Ways to change a composite file, each with what must become of reading it."""

# Importing a module registers its mutations.
from tests.opera.odim_mutations import arrays, attributes, harmless
from tests.opera.odim_mutations.common import MUTATIONS, Mutation

__all__ = ["MUTATIONS", "Mutation", "arrays", "attributes", "harmless"]
