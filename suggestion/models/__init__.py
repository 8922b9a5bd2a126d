"""What model-based algorithms share: Gaussian processes, transformations of objectives, search of an acquisition.

Nothing here knows of trials or parameters: points are rows of the unit cube, values are numbers of which less is
better.
"""
