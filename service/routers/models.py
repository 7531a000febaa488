"""`/v1/models`: what can color a video here."""

from fastapi import APIRouter

from jobs.catalog import CatalogModel
from jobs.errors import InvalidRequest, Unauthorized
from jobs.options import StrictModel
from service.dependencies import RepositoryDep
from service.examples import content_of
from service.problems import describe_problems

router = APIRouter(prefix="/v1/models", tags=["models"])


class ModelList(StrictModel):
    """The models of the workers."""

    data: list[CatalogModel]
    """Empty where no worker was heard for two minutes: models live with the workers."""


MODELS_CONTENT = content_of(
    ModelList(
        data=[
            CatalogModel(
                name="retint",
                title="Flow and matching, tuned on the references",
                license="Apache-2.0",
                source="in the repository",
                weights_present=True,
                restores=False,
                working_size=576,
            )
        ]
    )
)


@router.get(
    "",
    operation_id="list_models",
    summary="Models, their licences, and whether their weights are there",
    responses={200: {"content": MODELS_CONTENT}, **describe_problems(Unauthorized, InvalidRequest)},
)
def list_models(repository: RepositoryDep) -> ModelList:
    return ModelList(data=list(repository.read_catalog()))
