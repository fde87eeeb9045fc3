"""Monthly leaf area from land cover and the host's air temperature: a light predictor of another kind."""
