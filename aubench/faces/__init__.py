"""Faces in pictures, videos and meshes: detection, tracking, crops and depth maps."""
