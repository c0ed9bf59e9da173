"""kdscope: distil language models and know what you got."""
