"""Values that every floor above speaks in: places, problems, paths into batons, texts that are code, units."""
