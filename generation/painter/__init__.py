"""The only room that touches torch and diffusers: loads models and paints one batch at a time."""
