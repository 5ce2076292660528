"""The review workflow: tasks, attempts, reviews and decisions. Knows no chat platform and no HTTP.

What everybody speaks of
    model/ events.py errors.py      tasks and reviews; what has happened to them; what may go wrong
    codec.py                        events as they are stored and streamed
    lifecycle.py policy.py          status + event -> status; who may decide
    counting.py seating.py          what decisions add up to; who takes a place in which quorum
    amendments.py                   what becomes of a policy while a review is open under it
    timetable.py timekeeper.py      when what is to happen to a review that waits; lets it happen
    reminding.py calling.py         who is reminded of it, and when somebody next is; has cards say that
    explaining.py                   where a review stands and why
    literal.py                      other people's text made safe to look at; what is short
    inforce.py                      people and policies as the configuration says now
    ports/                          what core asks of the world
    service.py submissions.py       what the world may ask of core; how what it hands in is checked
    turnstile.py                    how many submissions are stored at once
    questions.py delegations.py     what reviewers ask the submitter; who decides for whom is away
    looking.py checkpoints.py       who is looking, or reminded later; what a task is resumed from
    reconsidering.py versions.py    open reviews, once who may decide has changed; whose cards tell it
    backups.py                      a copy of all of it

A flow, before any task runs in it
    definitions.py                  from `[flows.NAME]` to a checked flow: the two that ship, and users' own
    graph.py                        every node of a PocketFlow graph by its path
    nodes.py                        what users import: ReviewNode and its like, review(), progress()
    processors/                     what a ProcessNode calls: function, HTTP endpoint, model, command
    picture.py layout.py mermaid.py the graph for people: an SVG, where its boxes stand, Mermaid text

A task in its flow
    flow.py                         takes a task up from what is stored, and runs one segment of it
    segment.py gathering.py         from where a task stands to its next wait or its end; what is stored of it
    sequel.py                       what follows at once, where only our own nodes come next
    routes.py                       where a node's action leads
    stepping.py threads.py          one node, as PocketFlow would run it; what blocks, off the event loop
    running.py telling.py           what a node may ask while it runs; what it says of its progress
    asking.py                       what reviewers are shown, and what their answer does to the state
    states.py jsontext.py           what a state begins with, and how it may be edited; as it is stored
    differences.py changes.py       how two texts differ, line by line; two drafts, for who decides
    sentences.py                    what went wrong in somebody else's code

Around it
    store/ engines/                 rows in a database; where and when stored work runs
    outbox.py delivering.py         cards to chats and notices to hooks, each channel by a loop of its own
    feed.py                         events to followers
    leases.py lookout.py            what exactly one replica does at a time; what readers have missed
    measures.py                     what is counted while it happens
    settings.py addresses.py        core's knobs; what an address says
    durations.py                    how long, as people write it: `2h`
    imports.py columns.py           functions by `module:function`, and extras; how wide text is
    listing.py                      names in a sentence
    clock.py pauses.py              time; waiting for some of it
    ids.py stopping.py              new ids; an end in good order
    defects.py outages.py           our own defects, and what is away, as a log may have them
"""
