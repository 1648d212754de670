-- A collection's own ranker, in place of the service's.
create table rankers (
    tenant text not null,
    collection text not null,
    content bytea not null, -- safetensors: services/rag/trees.py
    sha256 text not null,
    made_at timestamptz not null default now(),
    primary key (tenant, collection),
    foreign key (tenant, collection) references collections on delete cascade
);

-- The earlier turns of a long conversation in a few sentences, by the language model.
alter table conversations add summary text not null default '';
alter table conversations add summarised integer not null default 0; -- turns that it covers
alter table conversations add used_at timestamptz not null default now();
create index conversations_used on conversations (used_at);
