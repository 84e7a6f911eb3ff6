"""Renderer of the faces of synth."""
