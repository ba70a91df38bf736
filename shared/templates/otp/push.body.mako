${code}: valid for ${expires_minutes} min. Do not share it.
