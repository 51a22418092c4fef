"""Super-resolution of rain: scenes of 25 km, models, and what they are trained by."""
