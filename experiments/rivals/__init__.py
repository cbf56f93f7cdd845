"""What else drops the rate, or needs none: published rules as small optax links.

One file a method. Each cites its paper and says what is the paper's and what is a
choice made here. They stand beside AutoDrop in the experiments and are no part of the
library.
"""
