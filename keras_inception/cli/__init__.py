"""The commands of `keras-inception`, whose parser is `keras_inception_cli`, a module beside the package."""
