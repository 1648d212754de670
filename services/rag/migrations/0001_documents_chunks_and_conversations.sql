-- Every key starts with the tenant, so that the tables can be distributed by it.

create table collections (
    tenant text not null,
    name text not null,
    description text not null,
    chunks bigint not null default 0, -- with stems: the statistics that BM25 needs
    stems bigint not null default 0,
    created_at timestamptz not null default now(),
    primary key (tenant, name)
);

-- A new version waits beside the one that readers see, and replaces it when it is indexed.
create table documents (
    tenant text not null,
    collection text not null,
    id text not null,
    version integer not null,
    sha256 bytea not null,
    title text not null,
    text text not null,
    metadata jsonb not null,
    language text,
    model text, -- which embedder made the chunks' vectors
    status text not null check (status in ('waiting', 'ready', 'failed')),
    error text,
    chunks integer not null default 0,
    created_at timestamptz not null default now(),
    primary key (tenant, collection, id, version),
    foreign key (tenant, collection) references collections on delete cascade
);

create table chunks (
    tenant text not null,
    collection text not null,
    document text not null,
    version integer not null,
    position integer not null,
    "start" integer not null, -- characters of the document's text
    "end" integer not null,
    text text not null,
    stems integer not null,
    words tsvector not null, -- selects the candidates of the keyword leg
    weights sparsevec not null, -- scores them: BM25 weights at hashed stems
    embedding halfvec not null, -- of any length: it depends on the embedder
    primary key (tenant, collection, document, version, position),
    foreign key (tenant, collection, document, version) references documents on delete cascade
);
create index chunks_words on chunks using gin (words);

-- In how many chunks a stem occurs.
create table terms (
    tenant text not null,
    collection text not null,
    term text not null,
    chunks integer not null,
    primary key (tenant, collection, term),
    foreign key (tenant, collection) references collections on delete cascade
);

-- No foreign keys: on Citus this table is not distributed, because SKIP LOCKED spans all tenants.
create table jobs (
    tenant text not null,
    collection text not null,
    document text not null,
    version integer not null,
    attempts integer not null default 0,
    leased_until timestamptz not null default '-infinity',
    queued_at timestamptz not null default now(),
    primary key (tenant, collection, document)
);
create index jobs_queued on jobs (queued_at);

create table conversations (
    tenant text not null,
    id text not null,
    created_at timestamptz not null default now(),
    primary key (tenant, id)
);

create table turns (
    tenant text not null,
    conversation text not null,
    position integer not null,
    collection text not null,
    question text not null,
    answer text,
    citations jsonb not null,
    at timestamptz not null default now(),
    primary key (tenant, conversation, position),
    foreign key (tenant, conversation) references conversations on delete cascade
);
