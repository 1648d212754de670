-- Each embedder has a table of vectors of its own, so that another model's vectors can be made
-- while the old ones answer.

create table embedders (
    number integer generated always as identity primary key,
    name text not null unique, -- the model and its revision
    reference text, -- what RAG_EMBEDDER was, to load the model again
    dimensions integer not null
);

-- Whose vectors a document's chunks have.
alter table documents add embedded_by integer[] not null default '{}';

-- How a collection cuts its documents, and how an indexed one was cut; null: as the service is set.
alter table collections add chunking jsonb;
alter table documents add chunking jsonb;

-- Counts what becomes of a collection's documents. Counted while the collection's row is locked, so
-- that whoever has seen one number has seen, or can see, all smaller ones.
alter table collections add changes bigint not null default 0;
alter table documents add change bigint;
create index documents_changes on documents (tenant, collection, change) where change is not null;

-- Finds the documents that a filter keeps.
create index documents_metadata on documents using gin (metadata jsonb_path_ops);

-- Which file a document came from, so that an interrupted upload of a folder can go on.
alter table documents add file text;
alter table documents add file_sha256 bytea;
create index documents_files on documents (tenant, collection, file) where file is not null;

-- Counts documents by state, and lists them, without reading them.
create index documents_states on documents (tenant, collection, status);

-- A job makes a document's chunks and vectors, or only the vectors that it lacks.
alter table jobs add only_vectors boolean not null default false;

create function make_vectors(number integer, dimensions integer) returns void language plpgsql as $$
begin
    execute format('create table vectors_%1$s (
        tenant text not null,
        collection text not null,
        document text not null,
        version integer not null,
        position integer not null,
        embedding halfvec(%2$s) not null,
        primary key (tenant, collection, document, version, position),
        foreign key (tenant, collection, document, version, position)
            references chunks on delete cascade)', number, dimensions);
    if dimensions <= 3000 then -- beside the key and not behind a pointer: exact search reads them all
        execute format('alter table vectors_%1$s alter embedding set storage plain', number);
    end if;
end $$;

-- pgvector indexes half vectors of up to 4000 dimensions; longer ones are searched one by one.
create function index_vectors(number integer, dimensions integer) returns void language plpgsql as $$
begin
    if dimensions <= 4000 then
        execute format('create index vectors_%1$s_near on vectors_%1$s
            using hnsw (embedding halfvec_cosine_ops)', number);
    end if;
end $$;

create function drop_embedder(gone text) returns void language plpgsql as $$
declare gone_number integer;
begin
    delete from embedders where name = gone returning number into gone_number;
    if gone_number is not null then
        execute format('drop table vectors_%s', gone_number);
    end if;
end $$;

do $$
declare old record; made integer;
begin
    for old in
        select d.model, max(vector_dims(c.embedding)) as dimensions
        from documents d join chunks c on c.tenant = d.tenant and c.collection = d.collection
            and c.document = d.id and c.version = d.version
        where d.model is not null group by d.model
    loop
        insert into embedders (name, dimensions) values (old.model, old.dimensions)
            returning number into made;
        perform make_vectors(made, old.dimensions);
        execute format('insert into vectors_%s
            select c.tenant, c.collection, c.document, c.version, c.position, c.embedding
            from documents d join chunks c on c.tenant = d.tenant and c.collection = d.collection
                and c.document = d.id and c.version = d.version
            where d.model = $1', made) using old.model;
        perform index_vectors(made, old.dimensions);
        update documents set embedded_by = array[made] where model = old.model;
    end loop;
end $$;

alter table chunks drop embedding;
alter table documents drop model;
