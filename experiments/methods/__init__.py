"""Every compared model behind one interface: fit on cells, embed others, generate."""
