"""From a configuration to an application: options, plugins, and how all parts are put together."""
