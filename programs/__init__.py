"""Programs and skills as a Python user meets them: `Program`, the skill folder, the program library."""
