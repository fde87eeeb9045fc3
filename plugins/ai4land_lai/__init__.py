"""Predicts monthly leaf area index from land cover, climate, terrain and soil."""
