"""The component behind the interfaces of others: BMI and YAC."""
