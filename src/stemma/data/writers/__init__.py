"""Data sets written in the formats that others read, one file a format: `picture(split, name)` says where a picture
goes, and `write(place, book)` writes the annotations beside the pictures and counts in the book what the format cannot
hold. `stemma convert` finds a format by its file."""
