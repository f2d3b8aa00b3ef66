"""Package metadata. Here are ranges; versions that were proved together are in requirements.txt (Spark 3.5)
and requirements-spark4.txt.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "lib/firstday/__init__.py").read_text())[1]

# A cluster brings these itself, and a second copy would clash: they are an extra, never a requirement.
LOCAL = [
    "cryptography>=45",
    "pyspark>=3.5.3,<5",
    "delta-spark>=3.3,<4.4",
    "mlflow>=3,<4",
    "synapseml>=1.1.3,<1.2",
    "lightgbm>=4.6,<5",
]
DEV = [
    "certifi",
    "chispa>=0.11",
    "databricks-bundles>=0.270",
    "deltalake>=1",
    "duckdb>=1.2",
    "hypothesis>=6.130",
    "ipykernel>=6.29",
    "mypy>=1.15",
    "nbclient>=0.10",
    "packaging>=24",
    "polars>=1.30",
    "pytest>=8",
    "pytest-xdist>=3.6",
    "ruff>=0.12",
    "setuptools>=77",
    "types-PyYAML",
    "wheel>=0.45",
]

setup(
    name="firstday",
    version=VERSION,
    description="Distributed Spark jobs that find what, done on the first day, makes users stay",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    package_dir={"": "lib", "firstday.jobs": "jobs", "firstday.conf": "conf"},
    packages=[*find_packages("lib"), "firstday.jobs", "firstday.conf"],
    package_data={
        "firstday": ["py.typed"],
        "firstday.conf": ["*.yml", "formats/*.yml", "*.conf", "*.properties"],
        "firstday.report": ["*.html", "*.css", "*.js", "*.j2", "templates/*"],
    },
    install_requires=[
        "altair>=5.5,<7",
        "click>=8.1",
        "jinja2>=3.1",
        "numpy>=1.26,<3",
        "pandas>=2.2,<3",
        "pyarrow>=16,<26",
        "pydantic>=2.7,<3",
        "PyYAML>=6",
        "rich>=13",
        "scipy>=1.13",
        "statsmodels>=0.14.2",
        "tzdata",
        "vl-convert-python>=1.7",
    ],
    extras_require={"local": LOCAL, "dev": DEV},
    entry_points={
        "console_scripts": [
            "firstday = firstday.cli:main",
            "firstday-assign = firstday.jobs.assign:main",
            "firstday-discover = firstday.jobs.discover:main",
            "firstday-forget = firstday.jobs.forget:main",
            "firstday-label = firstday.jobs.label:main",
            "firstday-maintain = firstday.jobs.maintain:main",
            "firstday-loop = firstday.jobs.loop:main",
            "firstday-measure = firstday.jobs.measure:main",
            "firstday-recommend = firstday.jobs.recommend:main",
            "firstday-simulate = firstday.jobs.simulate:main",
            "firstday-train = firstday.jobs.train:main",
        ]
    },
)
