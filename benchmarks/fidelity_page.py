def page(found, studies, seed):
    return "\n\n".join(found.values())
