"""Gates of the dynamical core: what the page of published test cases is made of."""
