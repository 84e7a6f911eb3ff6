"""The methods: one file each, named after it."""
