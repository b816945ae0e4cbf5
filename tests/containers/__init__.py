"""The image, the compose files and the chart agree with the code that they run."""
