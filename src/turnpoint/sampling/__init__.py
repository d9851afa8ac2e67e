"""Replies of a model to prompts."""

from turnpoint.sampling.generate import generate_replies as generate_replies
