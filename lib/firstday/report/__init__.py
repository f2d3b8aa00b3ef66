"""What all reports are made of: pages, figures, words, colours, text for the terminal."""
