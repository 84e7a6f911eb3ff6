"""What a method must keep, proven on small cases."""
