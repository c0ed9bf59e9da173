"""Studies: a YAML file becomes a frozen, validated `Study`, and a study becomes a grid of cells."""

from kdscope.study.grid import Cell, expand_cells
from kdscope.study.load import load_study
from kdscope.study.schema import Study

__all__ = ["Cell", "Study", "expand_cells", "load_study"]
