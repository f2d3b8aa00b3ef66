"""Settings to copy and edit, and the configuration of Spark that goes with the package."""
