"""The small model of the tests of models, for those of generation too."""

from tests.models.conftest import model_folder  # noqa: F401 - a fixture
