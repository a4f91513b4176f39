"""numerai-ray: from an idea to a submitted Numerai model, in rounds that change one variable at a time."""
