"""What is looked for in a case: the same forms whenever it is asked, also by a purge that is repeated after a crash."""

from __future__ import annotations

from lineage_world import ANN, INES, NOW, World, filing_dates
from sqlmodel import delete

from lineage import desk
from lineage.sought import open_supplied, seal_forms, searched_forms
from lineage.tables import CaseRow, RegisterRow


def test_a_purge_that_is_repeated_looks_for_what_it_began_with(world: World) -> None:
    """No account number is a telephone the second time, whether the register still knows the person or not."""
    world.register(ANN)
    intake = desk.Intake([ANN], "b", "portal", filing_dates()["received_on"])
    case_id = desk.file_case(world.workspace, intake, actor=INES, now=NOW).id
    key, forms = searched_forms(world.workspace, case_id)
    sealed = seal_forms(world.workspace, case_id, forms)
    with world.database.transaction() as session:
        session.get_one(CaseRow, case_id).supplied = sealed
    for _ in range(2):
        again, found = searched_forms(world.workspace, case_id)
        assert (again, set(found), len(found)) == (key, set(forms), len(forms))
        with world.database.transaction() as session:
            session.execute(delete(RegisterRow))
    assert set(open_supplied(world.workspace, case_id)) == {form.value for form in forms}
