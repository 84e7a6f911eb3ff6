"""What the papers' tables and figures take here, and how they are drawn."""
