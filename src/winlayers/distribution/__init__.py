"""Where images are kept by others: the client of registries, over HTTP.

This room knows neither stores nor what is in a layer, and reads no environment: what it may use is handed in as
``registries.Registries``. "Registry" alone is that of Windows; here it stands only in texts for people.
"""
