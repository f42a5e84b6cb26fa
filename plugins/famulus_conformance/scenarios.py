"""The one table of what official clients are put through, in any language.

A scenario is data: each client has its own way to play it, under this name, and is held to what
must hold. A client that lacks one fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from famulus_conformance.scenarios_model import Model

Need = Literal["nothing", "parallel calls", "much text", "embeddings"]
"""What a model must be able to do besides answering and calling a function."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that users of a client do."""

    name: str
    operations: tuple[str, ...]
    """Ids of the oracle's operations that it is about."""
    does: str
    holds: str
    """What must hold then."""
    needs: Need = "nothing"

    def suits(self, model: Model) -> bool:
        """Whether the model can do what is needed."""
        if self.needs == "embeddings":
            return model.embeds
        if self.needs == "parallel calls":
            return model.calls_in_parallel
        return self.needs == "nothing" or bool(model.lengthy and model.endless)


SCENARIOS: Sequence[Scenario] = (
    # --- objects ---
    Scenario(
        name="an assistant is created, retrieved, updated and deleted",
        operations=("createAssistant", "getAssistant", "modifyAssistant", "deleteAssistant"),
        does="Each of the four, with every field that is not a tool's.",
        holds="It has what it was given, keeps what was not named, and is gone once deleted.",
    ),
    Scenario(
        name="assistants are listed over several pages",
        operations=("listAssistants",),
        does="Makes five, and iterates over pages of two.",
        holds="All come, newest first, and none twice.",
    ),
    Scenario(
        name="a list goes on after and before an object",
        operations=("listAssistants",),
        does="Lists three assistants by `after` and by `before`.",
        holds="The cursor itself is left out, and the order is as asked.",
    ),
    Scenario(
        name="a thread is created, retrieved, updated and deleted",
        operations=("createThread", "getThread", "modifyThread", "deleteThread"),
        does="Each of the four.",
        holds="Metadata is replaced, the rest is kept, and it and its messages are gone.",
    ),
    Scenario(
        name="a thread is created from no arguments",
        operations=("createThread",),
        does="Sends no body.",
        holds="It is there, with no message.",
    ),
    Scenario(
        name="a thread holds the messages that it was made with",
        operations=("createThread", "listMessages"),
        does="Makes one with three messages, the contents text and parts.",
        holds="They are listed in order, with their roles and texts.",
    ),
    Scenario(
        name="a message is created, retrieved, updated and deleted",
        operations=("createMessage", "getMessage", "modifyMessage", "deleteMessage"),
        does="Each of the four.",
        holds="Only its metadata changes, and it is gone once deleted.",
    ),
    Scenario(
        name="messages are listed over several pages",
        operations=("listMessages",),
        does="Makes seven, and iterates over pages of two, both ways.",
        holds="All come, in the order asked, and the pages are full.",
    ),
    # --- runs that are waited for ---
    Scenario(
        name="create_and_poll gives the right answer",
        operations=("createRun", "getRun"),
        does="Runs a thread and polls.",
        holds="The run is completed, the answer is right, the usage adds up.",
    ),
    Scenario(
        name="create_and_run_poll gives the right answer",
        operations=("createThreadAndRun", "getRun"),
        does="Creates a thread with its run, and polls.",
        holds="The run is completed, the answer is right, its step is completed.",
    ),
    Scenario(
        name="instructions reach the model",
        operations=("createThreadAndRun",),
        does="Asks what only the assistant's instructions say.",
        holds="The answer is right.",
    ),
    Scenario(
        name="a run may have instructions and messages of its own",
        operations=("createRun",),
        does="Overrides the instructions and adds a message.",
        holds="The run tells its instructions, and the answer follows them.",
    ),
    Scenario(
        name="a thread remembers what was said in it",
        operations=("createRun", "createMessage"),
        does="Asks for a name that was told in an earlier run.",
        holds="Both answers are right.",
    ),
    Scenario(
        name="the steps of a run are listed and retrieved",
        operations=("listRunSteps", "getRunStep"),
        does="Lists the steps of a run that answered.",
        holds="There is one, which names the message, and retrieved it is the same.",
    ),
    Scenario(
        name="runs are listed over several pages and updated",
        operations=("listRuns", "modifyRun"),
        does="Runs a thread three times, pages by one, and updates the first.",
        holds="All come, newest first; the metadata is kept.",
    ),
    Scenario(
        name="a run that is at work is cancelled",
        operations=("cancelRun",),
        does="Cancels a run once it has begun to answer.",
        holds="It is cancelled, and what it said stays as an incomplete message.",
        needs="much text",
    ),
    Scenario(
        name="a thread whose run is at work takes no other run and no message",
        operations=("createRun", "createMessage"),
        does="Asks both of a busy thread.",
        holds="Both are BadRequestErrors that name the run: a client would repeat a conflict.",
        needs="much text",
    ),
    # --- runs that are streamed ---
    Scenario(
        name="a stream tells its handlers everything in order",
        operations=("createRun",),
        does="Streams a run through an event handler.",
        holds="Step, message and text begin and end in order, and the deltas add up.",
    ),
    Scenario(
        name="what a stream ends with is what is stored",
        operations=("createRun", "getRun", "getMessage"),
        does="Compares the last events of a stream with what is retrieved.",
        holds="Run, step and message are the same.",
    ),
    Scenario(
        name="a stream is told to its end, however long the answer",
        operations=("createRun",),
        does="Streams an answer of more than ninety words.",
        holds="The deltas are the message's text.",
        needs="much text",
    ),
    Scenario(
        name="a thread is created and run in one stream",
        operations=("createThreadAndRun",),
        does="Streams a run that is created with its thread.",
        holds="The answer is right, and the run is completed.",
    ),
    Scenario(
        name="the events of a stream are iterated without a helper",
        operations=("createRun",),
        does="Iterates over `create(stream=True)`.",
        holds="The events have their types, and the deltas add up to the right answer.",
    ),
    Scenario(
        name="a stream tells its handlers of a function call",
        operations=("createRun",),
        does="Streams a run that calls a function.",
        holds="The call begins with its name, its arguments come in deltas, and it ends whole.",
    ),
    Scenario(
        name="a stream that cannot begin is a NotFoundError",
        operations=("createRun",),
        does="Streams a run of an assistant that there is not.",
        holds="The helper raises the class of the error.",
    ),
    # --- functions ---
    Scenario(
        name="a function is asked for and its output is used",
        operations=("submitToolOuputsToRun", "listRunSteps", "getRunStep"),
        does="Submits the output by submit_tool_outputs_and_poll.",
        holds="The run is completed, the answer is right, and the steps tell the call.",
    ),
    Scenario(
        name="outputs are submitted into a stream",
        operations=("submitToolOuputsToRun",),
        does="Submits the output by submit_tool_outputs_stream.",
        holds="It is the same run, which answers in the stream.",
    ),
    Scenario(
        name="two functions are asked for at once",
        operations=("submitToolOuputsToRun",),
        does="Asks what needs two calls, and submits both outputs.",
        holds="Both are in one required action, and the run is completed.",
        needs="parallel calls",
    ),
    Scenario(
        name="outputs are submitted from within a stream",
        operations=("submitToolOuputsToRun",),
        does="Answers a call in the handler, as OpenAI's examples do.",
        holds="The answer comes in the stream that was opened in the other.",
    ),
    Scenario(
        name="a run that waits for outputs is cancelled",
        operations=("cancelRun",),
        does="Cancels it.",
        holds="It is cancelled, and the thread takes messages again.",
    ),
    Scenario(
        name="outputs for a run that waits for none are a BadRequestError",
        operations=("submitToolOuputsToRun",),
        does="Submits outputs twice.",
        holds="The second time is refused.",
    ),
    # --- errors ---
    Scenario(
        name="what is missing is a NotFoundError",
        operations=(
            "getAssistant",
            "getThread",
            "getMessage",
            "listMessages",
            "getRun",
            "createRun",
            "getRunStep",
            "retrieveModel",
            "createChatCompletion",
        ),
        does="Asks for objects of every kind that are not there.",
        holds="The class, the envelope and a request id; a model has the code for it.",
    ),
    Scenario(
        name="what cannot be done is a BadRequestError with param and code",
        operations=("createAssistant", "listAssistants", "createThread", "createChatCompletion"),
        does="Sends what is missing, unknown, too large, too small and of the wrong type.",
        holds="The class, the parameter's name and the code.",
    ),
    Scenario(
        name="a wrong key is an AuthenticationError",
        operations=("createThread", "listModels"),
        does="Asks with a key of nobody.",
        holds="The class and the code, and the key is not told in full.",
    ),
    Scenario(
        name="a key is asked for before anything is said to be missing",
        operations=("getAssistant",),
        does="Asks for what is not there with a key of nobody.",
        holds="It is an AuthenticationError.",
    ),
    # --- models ---
    Scenario(
        name="the model is listed and retrieved",
        operations=("listModels", "retrieveModel"),
        does="Both.",
        holds="It is among those listed, under its id.",
    ),
    Scenario(
        name="a chat is answered",
        operations=("createChatCompletion",),
        does="Asks once.",
        holds="The answer is right, and the usage adds up.",
    ),
    Scenario(
        name="a chat is streamed",
        operations=("createChatCompletion",),
        does="Streams, without and with the usage.",
        holds="The deltas add up, and the usage comes last, only if asked for.",
    ),
    Scenario(
        name="a chat stream tells its handlers",
        operations=("createChatCompletion",),
        does="Streams through the client's helper.",
        holds="The pieces add up to the final answer.",
    ),
    Scenario(
        name="a chat calls a function and uses its result",
        operations=("createChatCompletion",),
        does="Answers the call of a chat, by the client's runner where it has one.",
        holds="The call has its arguments, and the answer is right.",
    ),
    Scenario(
        name="a streamed chat calls a function",
        operations=("createChatCompletion",),
        does="Streams a chat that calls a function through the helper.",
        holds="The final call is whole.",
    ),
    Scenario(
        name="a completion is given and streamed",
        operations=("createCompletion",),
        does="Both, with the same seed.",
        holds="The text and the reason are the same.",
    ),
    Scenario(
        name="texts are embedded, as base64 and as floats",
        operations=("createEmbedding",),
        does="Asks in both forms.",
        holds="They are the same vectors, of length one, and differ by text.",
        needs="embeddings",
    ),
    # --- files ---
    Scenario(
        name="a file is created, retrieved, downloaded and deleted",
        operations=("createFile", "retrieveFile", "downloadFile", "deleteFile"),
        does="Each of the four, with a name that is not ASCII and an expiry.",
        holds="It is what was given, its content is what was sent, and it is gone once deleted.",
    ),
    Scenario(
        name="a file is streamed from the disk",
        operations=("createFile", "downloadFile"),
        does="Gives the client an open file, or a path.",
        holds="It has the file's name, and its content.",
    ),
    Scenario(
        name="files are listed over several pages",
        operations=("createFile", "listFiles"),
        does="Makes three, and iterates over pages of two of their purpose.",
        holds="All come, newest first.",
    ),
    Scenario(
        name="an upload is completed from its parts, and another cancelled",
        operations=("createUpload", "addUploadPart", "completeUpload", "cancelUpload"),
        does="Sends two parts, completes them, and cancels another upload.",
        holds="The file is the parts in their order, and nothing comes after the end.",
    ),
    # --- containers ---
    Scenario(
        name="a container is created, retrieved, listed and deleted",
        operations=("CreateContainer", "RetrieveContainer", "ListContainers", "DeleteContainer"),
        does="Each of the four, with a name that is not ASCII, and pages of two of that name.",
        holds="It is what was asked for, all come, newest first, and it is gone once deleted.",
    ),
    Scenario(
        name="files come into a container, are downloaded and deleted",
        operations=(
            "CreateContainerFile",
            "ListContainerFiles",
            "RetrieveContainerFile",
            "RetrieveContainerFileContent",
            "DeleteContainerFile",
        ),
        does="Names one at the creation, sends one, and copies one, whose own file is deleted.",
        holds="Each has a path of its own and its content, and is gone once deleted.",
    ),
    # --- vector stores ---
    Scenario(
        name="a vector store is created, retrieved, updated, listed and deleted",
        operations=(
            "createVectorStore",
            "getVectorStore",
            "modifyVectorStore",
            "listVectorStores",
            "deleteVectorStore",
        ),
        does="Each of the five, with an expiry that is taken away again.",
        holds="It has what it was given, keeps what was not named, and is gone once deleted.",
    ),
    Scenario(
        name="a file is uploaded into a vector store, searched for, described and taken out",
        operations=(
            "createVectorStoreFile",
            "getVectorStoreFile",
            "listVectorStoreFiles",
            "updateVectorStoreFileAttributes",
            "retrieveVectorStoreFileContent",
            "deleteVectorStoreFile",
            "searchVectorStore",
        ),
        does="Uploads and waits by the client's helper, searches, and changes the attributes.",
        holds="It is found first by what it says, and only where its attributes pass a filter.",
    ),
    Scenario(
        name="a batch of files is uploaded into a vector store",
        operations=(
            "createVectorStoreFileBatch",
            "getVectorStoreFileBatch",
            "listFilesInVectorStoreBatch",
        ),
        does="Uploads two files and waits by the client's helper, and adds them once more.",
        holds="Both are completed, and counted once.",
    ),
    Scenario(
        name="a batch of files is cancelled",
        operations=("createVectorStoreFileBatch", "cancelVectorStoreFileBatch"),
        does="Adds many files and cancels at once.",
        holds="The batch is cancelled, and each of its files is over.",
    ),
)
