"""Take what a biosignal foundation model knows on one sensor to another, live on the edge."""

__version__ = "0.1.0"
