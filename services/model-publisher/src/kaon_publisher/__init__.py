"""Publishes validated models: images, registry of models, announcements."""
