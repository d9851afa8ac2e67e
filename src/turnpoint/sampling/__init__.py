"""Replies of a model to prompts."""

from turnpoint.sampling.generate import Reply as Reply
from turnpoint.sampling.generate import check_sampling as check_sampling
from turnpoint.sampling.generate import generate_replies as generate_replies
from turnpoint.sampling.server import ChatServer as ChatServer
