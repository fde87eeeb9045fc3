"""Interfaces of the component to other frameworks: BMI and YAC."""
