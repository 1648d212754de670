"""Count a rag database anew and compare: what is counted along the way must not drift."""

from services.rag.database import Connection

# Each returns rows only where something is wrong.
CHECKS = {
    "documents that say other numbers of chunks than they have": """
        select d.id from documents d where d.status = 'ready' and d.chunks <>
            (select count(*) from chunks c where c.tenant = d.tenant and c.collection = d.collection
             and c.document = d.id and c.version = d.version)""",
    "chunks of versions that readers must not see": """
        select c.document from chunks c join documents d on d.tenant = c.tenant
            and d.collection = c.collection and d.id = c.document and d.version = c.version
        where d.status <> 'ready'""",
    "documents with two visible versions": """
        select id from documents where status = 'ready' group by tenant, collection, id
        having count(*) > 1""",
    "collections that say other numbers than they have": """
        select c.name from collections c, lateral
            (select count(*) as chunks, coalesce(sum(stems), 0) as stems from chunks one
             where one.tenant = c.tenant and one.collection = c.name) counted
        where c.chunks <> counted.chunks or c.stems <> counted.stems""",
    "words that are counted wrongly": """
        select coalesce(a.term, b.term) from
            (select tenant, collection, term, count(*) as chunks
             from chunks, unnest(tsvector_to_array(words)) as term group by 1, 2, 3) a
            full join (select * from terms where chunks <> 0) b using (tenant, collection, term)
        where a.chunks is distinct from b.chunks""",
    "jobs that are left": "select document from jobs",
    "jobs missing": """
        select id from documents d where status = 'waiting' and not exists
            (select from jobs j where j.tenant = d.tenant and j.collection = d.collection
             and j.document = d.id)""",
}
VECTORS = """select c.document from chunks c left join {table} v
    using (tenant, collection, document, version, position) where v.document is null"""


async def problems(connection: Connection) -> list[str]:
    """Return what does not add up."""
    checks = dict(CHECKS)
    for row in await connection.fetch("select number from embedders"):
        table = f"vectors_{row['number']}"
        checks[f"chunks without a vector in {table}"] = VECTORS.format(table=table)
    found = []
    for what, query in checks.items():
        if rows := await connection.fetch(query):
            found.append(f"{what}: {len(rows)}, first {rows[0][0]!r}")
    return found
