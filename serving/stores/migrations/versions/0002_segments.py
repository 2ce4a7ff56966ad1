"""What kind of customer each row is about."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
COLUMNS = ("segment", "stage", "rfm")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("scores", sa.Column(name, sa.String(16)))


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("scores", name)
