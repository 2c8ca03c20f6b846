from posebed.inference.poses import Poses as Poses
from posestages.interface import Project as Project
from posestages.interface import Run as Run
from posestages.interface import compare as compare
from posestages.model import Model as Model
from posestages.model import load_model as load_model

__version__: str
