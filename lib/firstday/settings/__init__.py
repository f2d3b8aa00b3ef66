"""Settings of the jobs: frozen, checked at load. A YAML file < `--set key=value` < flags.

The description of a field is also the help text of its flag: it is written once, here.
"""

from firstday.settings.assign import AssignSettings
from firstday.settings.discover import DiscoverSettings
from firstday.settings.experiment import ExperimentPlan, plan_of, read_plan
from firstday.settings.forget import ForgetSettings
from firstday.settings.kinds import Settings, duration_text
from firstday.settings.label import LabelSettings
from firstday.settings.load import load
from firstday.settings.loop import LoopSettings
from firstday.settings.maintain import MaintainSettings
from firstday.settings.measure import MeasureSettings
from firstday.settings.recommend import RecommendSettings
from firstday.settings.simulate import SimulateSettings
from firstday.settings.train import TrainSettings

__all__ = [
    "AssignSettings",
    "DiscoverSettings",
    "ExperimentPlan",
    "ForgetSettings",
    "LabelSettings",
    "LoopSettings",
    "MaintainSettings",
    "MeasureSettings",
    "RecommendSettings",
    "Settings",
    "SimulateSettings",
    "TrainSettings",
    "duration_text",
    "load",
    "plan_of",
    "read_plan",
]
