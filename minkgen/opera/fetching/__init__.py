"""Where composites come from: a folder, the public archive, the Open Radar Data API."""
