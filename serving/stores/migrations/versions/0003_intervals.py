"""How far a score might move, and the risk at other horizons."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
COLUMNS = {"low": sa.Double, "high": sa.Double, "risks": sa.JSON}


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.add_column("scores", sa.Column(name, kind))


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("scores", name)
