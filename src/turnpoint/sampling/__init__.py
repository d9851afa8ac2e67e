"""Replies of a model to prompts."""

from turnpoint.sampling.draw import ModelSampler as ModelSampler
from turnpoint.sampling.draw import Sampler as Sampler
from turnpoint.sampling.draw import SamplesFile as SamplesFile
from turnpoint.sampling.draw import ServerSampler as ServerSampler
from turnpoint.sampling.generate import Reply as Reply
from turnpoint.sampling.generate import Sampling as Sampling
from turnpoint.sampling.generate import generate_replies as generate_replies
from turnpoint.sampling.generate import generate_samples as generate_samples
from turnpoint.sampling.responses import Question as Question
from turnpoint.sampling.responses import as_prompts as as_prompts
from turnpoint.sampling.responses import generate_responses as generate_responses
from turnpoint.sampling.responses import replies_to as replies_to
from turnpoint.sampling.server import ChatServer as ChatServer
from turnpoint.sampling.stream import Said as Said
from turnpoint.sampling.stream import Show as Show
from turnpoint.sampling.stream import stream_reply as stream_reply
